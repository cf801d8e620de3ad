"""A run as a job: trained as far as it is not, measured and reported, here or where a launcher sends it."""
