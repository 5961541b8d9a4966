"""One door for all processes of a service, and what they say to each other behind it."""
