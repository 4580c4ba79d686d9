"""Labels of recordings: files of labels, their rows, times and layouts of paths."""
