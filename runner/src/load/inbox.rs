//! What tasks of the request thread tell its driver.

use std::{
    cell::RefCell,
    collections::VecDeque,
    task::{Context, Waker},
};

use super::{connection::Connection, exchange::Exchange};

/// What a task tells the driver.
pub(super) enum Message {
    /// A connection for this request stands, or could not be opened before its time.
    Prepared {
        request: usize,
        connection: Option<Box<Connection>>,
    },
    /// A request is over.
    Finished {
        exchange: Box<Exchange>,
        connection: Option<Box<Connection>>,
    },
}

/// Messages in order. All on one thread, so nothing is locked.
#[derive(Default)]
pub(super) struct Inbox {
    messages: RefCell<VecDeque<Message>>,
    driver: RefCell<Option<Waker>>,
}

impl Inbox {
    pub(super) fn put(&self, message: Message) {
        self.messages.borrow_mut().push_back(message);
        if let Some(driver) = self.driver.borrow_mut().take() {
            driver.wake();
        }
    }

    /// The next message; when there is none, the driver is woken by the next one.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Option<Message> {
        let message = self.messages.borrow_mut().pop_front();
        if message.is_none() {
            *self.driver.borrow_mut() = Some(cx.waker().clone());
        }
        message
    }
}
