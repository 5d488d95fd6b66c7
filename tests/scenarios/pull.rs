//! Pull: a repository on a web server, real, slow, broken or hostile.

mod arrival;
mod hostile;
pub(crate) mod nginx;
mod requests;
pub(crate) mod stage;
