"""The commands of `babelscope cache`, `plot` and `study`, and the options that commands share."""
