"""Which recordings are held out: split rules, their list, and the checks for leaks."""
