"""Who calls, how that is proven, and what they are granted; knows no transport."""
