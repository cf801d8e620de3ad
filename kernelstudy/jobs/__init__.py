"""A run as a job: what is missing is trained, measured and reported, here or where a launcher sends it."""
