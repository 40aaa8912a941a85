"""LatentMap, v with its decoder: regions, paths, samples, arrows, the certificate."""
