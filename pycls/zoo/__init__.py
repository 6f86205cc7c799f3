"""Published models by name: constructors, weights, information, export to other tools."""
