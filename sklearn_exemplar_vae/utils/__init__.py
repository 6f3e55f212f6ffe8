"""What densities and augmentation share: rows on their way, and fits that fail without a trace."""
