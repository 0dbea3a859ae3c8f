"""One campaign as one folder that opens as a Zarr v3 group; the numbered journal in it is the truth, the arrays are its projection."""
