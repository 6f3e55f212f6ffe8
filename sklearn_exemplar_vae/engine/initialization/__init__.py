"""Where training starts: kernel density estimates read as exemplar models, and their bandwidths."""
