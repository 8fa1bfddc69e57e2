//! The shapes of the wire contract with existing clients, as views of the resources. Pure.
