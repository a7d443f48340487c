//! `wasi:io/streams` for guests that have a deadline: reading from a peer that is silent, or writing to one that does
//! not read, ends with it and frees the worker meanwhile, as in [`crate::poll`]. What does not wait is wasmtime-wasi's.

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io::streams as waiting;
use wasmtime_wasi::p2::bindings::sync::io::streams::{
    self, Host, HostInputStream, HostOutputStream, InputStream, OutputStream,
};
use wasmtime_wasi::p2::{DynPollable, StreamError, StreamResult};

use crate::Guest;
use crate::poll::View;

impl Guest {
    fn streaming<R>(
        &mut self,
        call: impl AsyncFnOnce(&mut ResourceTable) -> StreamResult<R>,
    ) -> StreamResult<R> {
        self.within(call).map_err(StreamError::Trap)?
    }
}

impl Host for View<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        Host::convert_stream_error(self.0.table(), error)
    }
}

impl HostInputStream for View<'_> {
    fn read(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<Vec<u8>> {
        HostInputStream::read(self.0.table(), stream, len)
    }

    fn blocking_read(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<Vec<u8>> {
        self.0.streaming(async |table| waiting::HostInputStream::blocking_read(table, stream, len).await)
    }

    fn skip(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<u64> {
        HostInputStream::skip(self.0.table(), stream, len)
    }

    fn blocking_skip(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<u64> {
        self.0.streaming(async |table| waiting::HostInputStream::blocking_skip(table, stream, len).await)
    }

    fn subscribe(&mut self, stream: Resource<InputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        HostInputStream::subscribe(self.0.table(), stream)
    }

    fn drop(&mut self, stream: Resource<InputStream>) -> wasmtime::Result<()> {
        self.0.within(async |table| waiting::HostInputStream::drop(table, stream).await)?
    }
}

impl HostOutputStream for View<'_> {
    fn check_write(&mut self, stream: Resource<OutputStream>) -> StreamResult<u64> {
        HostOutputStream::check_write(self.0.table(), stream)
    }

    fn write(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        HostOutputStream::write(self.0.table(), stream, bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.0.streaming(async |table| {
            waiting::HostOutputStream::blocking_write_and_flush(table, stream, bytes).await
        })
    }

    fn flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        HostOutputStream::flush(self.0.table(), stream)
    }

    fn blocking_flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        self.0.streaming(async |table| waiting::HostOutputStream::blocking_flush(table, stream).await)
    }

    fn subscribe(&mut self, stream: Resource<OutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        HostOutputStream::subscribe(self.0.table(), stream)
    }

    fn write_zeroes(&mut self, stream: Resource<OutputStream>, len: u64) -> StreamResult<()> {
        HostOutputStream::write_zeroes(self.0.table(), stream, len)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        self.0.streaming(async |table| {
            waiting::HostOutputStream::blocking_write_zeroes_and_flush(table, stream, len).await
        })
    }

    fn splice(
        &mut self,
        to: Resource<OutputStream>,
        from: Resource<InputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        HostOutputStream::splice(self.0.table(), to, from, len)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<OutputStream>,
        from: Resource<InputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        self.0.streaming(async |table| waiting::HostOutputStream::blocking_splice(table, to, from, len).await)
    }

    fn drop(&mut self, stream: Resource<OutputStream>) -> wasmtime::Result<()> {
        self.0.within(async |table| waiting::HostOutputStream::drop(table, stream).await)?
    }
}
