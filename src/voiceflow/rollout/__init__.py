"""The switch between two Deployments behind one Service: blue and green.

`planning` says from what stands in the cluster which steps lead to what is wanted, `carrying` takes
them one after another, and `adapter` is how both see and change a cluster.
"""
