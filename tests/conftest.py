import os

# Before scipy is imported: scikit-learn's checks then try arrays of other libraries too.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
