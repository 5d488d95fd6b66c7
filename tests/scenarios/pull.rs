//! Pull: a repository on a web server, real, slow, broken or hostile.

mod requests;
