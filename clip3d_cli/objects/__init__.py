"""Objects of a labelled cloud: clusters of points of one class."""
