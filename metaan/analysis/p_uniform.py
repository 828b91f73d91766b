"""p-uniform*: effect and heterogeneity from truncated likelihoods."""
