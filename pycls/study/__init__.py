"""Study files: what they say, which runs follow from them, and the files of a study."""
