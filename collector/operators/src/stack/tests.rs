//! Stacks of fake maps.
