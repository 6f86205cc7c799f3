"""The data sets that are known by name, and views on their prepared sets."""
