"""One host: as data, as a picture in text and SVG, and as a graph."""
