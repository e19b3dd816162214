"""Several processes of the service behind one port: `--workers N`.

group       the parent: starts them, replaces those that end, ends them all
worker      one of them, as the parent sees it
child       one of them, as it is itself: a whole service
orders      what the two say to each other
shares      which settings each has
restarts    when one that ended is started anew
port        holds the port that all listen on
memory      what each remembers from the start
"""
