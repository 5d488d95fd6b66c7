//! The TUF client.
