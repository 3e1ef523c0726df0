//! Mechanism that at least two services need, never policy.
