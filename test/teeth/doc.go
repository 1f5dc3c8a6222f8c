// Package teeth proves that the tests bite. Each patch plants one bug, one that mirrors of time series have really had, into a copy of the product's files, and
// names the law it breaks and the test that must fail for it. The copies replace the files by the overlay of go build: no bug lives in the product.
//
// A patch begins with a head:
//
//	<what the bug is, and how it once came about>
//	Law: L1, L5
//	Run: <package> <arguments of the test binary, as of go test>
//	Says: <regular expression of what the failing test says>
//
// followed by a unified diff.
package teeth
