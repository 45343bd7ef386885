// Package sqlite keeps teams, credentials, contacts and records in SQLite files
// of a data directory: latchkey.db, where every commit is on disk before it is
// acknowledged; records.db, apart from it so that a batch of records never
// holds up a roll; and in records/ the records themselves, a file for each day.
//
// One process owns a data directory; whoever opens a [Store] sees to that. (Two
// stores on one directory are correct all the same, but each waits for the
// other without a queue, and gives up after five seconds.)
package sqlite
