// Package native holds what touches memory that Go does not manage: it opens
// shared libraries, binds their symbols, converts C strings, and makes and maps
// sealed memory files. With the runtime adapters it is the only code that may
// import unsafe or purego. It knows no inference library.
package native
