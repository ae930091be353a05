//! Tests of whole analyses against numbers worked out by hand.
