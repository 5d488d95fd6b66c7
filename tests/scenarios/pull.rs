//! Pull: a repository on a web server, real, slow, broken or hostile.

mod arrival;
mod hostile;
mod nginx;
mod requests;
mod stage;
