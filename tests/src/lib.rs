//! Tests that need a kernel and root.
