"""One section of the published results a module: a results file in, Markdown lines out."""
