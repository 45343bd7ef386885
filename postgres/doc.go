// Package postgres keeps teams, credentials, contacts and records in a
// PostgreSQL database, version 14 or later, that any number of nodes share.
//
// Its tables are in a schema named latchkey. What a change costs is one round
// trip to read and one to write; DESIGN.md says why nothing can come between.
package postgres
