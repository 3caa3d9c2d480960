"""The executor on a Ray cluster: Ray places the workers, and the store's leases do the rest."""
