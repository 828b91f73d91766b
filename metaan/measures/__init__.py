"""From what papers print to effect sizes `yi` and sampling variances `vi`."""
