//! The least a program with an HTTP endpoint can be: tokio, axum, one route. The benchmark compares memory with it.

#![expect(clippy::print_stdout, reason = "tells the benchmark where it listens")]

use std::io;

use axum::{Router, routing::get};

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        axum::serve(listener, Router::new().route("/metrics", get(async || "up 1\n"))).await
    })
}
