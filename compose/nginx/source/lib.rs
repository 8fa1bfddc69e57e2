//! Nothing: what is of use here is the source of a dependency.
