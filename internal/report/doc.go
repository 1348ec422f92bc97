// Package report writes what a node keeps of a deployment, a client.Report, in four
// forms: a text for people, JSON for programs, JUnit XML for what collects the results of
// tests, and one HTML page that needs no other file. Its functions are pure: the same
// report gives the same bytes. Whatever names, messages and files hold, it is shown as
// text and nothing else.
package report
