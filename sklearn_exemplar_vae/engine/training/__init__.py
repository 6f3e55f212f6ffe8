"""Training: the fit that keeps the best weights, the loop, and what a row sees at each step."""
