"""Who did, or was refused, what: written before and after every act that changes something."""
