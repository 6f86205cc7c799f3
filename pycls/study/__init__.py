"""Study files, the runs that follow from them, and the files in a study's folder."""
