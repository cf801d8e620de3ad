def make(out):
    pass
