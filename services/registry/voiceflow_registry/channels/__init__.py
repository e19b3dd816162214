"""What channels serve: histories, promotions, policies, and telling watchers of them."""
