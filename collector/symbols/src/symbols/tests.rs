//! Symbols of real programs and of hostile files.
