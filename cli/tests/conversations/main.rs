//! What the program says, command by command: each test is a conversation in a world of its own, with standard
//! output, standard error and exit code as inline snapshots. No systemtap, no kernel module and no root is needed.

#![expect(clippy::unwrap_used, reason = "what the tests share may panic as they may")]

mod adopting;
mod arguments;
mod builders;
mod building;
mod bundles;
mod chain_copies;
mod comparing;
mod crash;
mod deltas;
mod dependencies;
mod domains;
mod drills;
mod farm;
mod host;
mod image_based;
mod importing;
mod jobs;
mod json;
mod limited;
mod made_up_kernel;
mod masking;
mod media;
mod modes;
mod newer_state;
mod next_version;
mod no_force;
mod old_kernel;
mod outputs;
mod outside;
mod published;
mod reading;
mod refused_state;
mod removal;
mod revocation;
mod roots;
mod running;
mod side_by_side;
mod signing_elsewhere;
mod slow_streams;
mod stap_server;
mod stock_view;
mod streams;
mod systemtap;
mod trust;
mod upgrade;
mod world;
