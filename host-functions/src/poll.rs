//! `wasi:io/poll` for guests that have a deadline: a wait ends with it, and frees the worker meanwhile.
//!
//! The epoch deadline stops only code that runs; without this, a guest could sleep for an hour in `poll`.

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll as waiting;
use wasmtime_wasi::p2::bindings::sync::io::poll;

use crate::Guest;

/// Marks [`Guest`] as the implementor that the linker is given.
pub(crate) struct Waiting;

impl HasData for Waiting {
    type Data<'a> = View<'a>;
}

/// Borrows the guest for one call; a type of its own, since wasmtime-wasi implements `poll` for the table itself.
pub struct View<'a>(pub(crate) &'a mut Guest);

impl poll::Host for View<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.0.within(async |table| waiting::Host::poll(table, pollables).await)?
    }
}

impl poll::HostPollable for View<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(self.0.table(), pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.0.within(async |table| waiting::HostPollable::block(table, pollable).await)?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.0.table(), pollable)
    }
}
