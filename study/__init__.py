"""A study: ordered stages that leave one folder of results; whether it is possible, what it would do, how far it is."""
