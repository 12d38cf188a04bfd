// Package plan turns a plan file into a Plan, or into every Problem that is in
// it; there is no other way to get a Plan. Nothing is contacted.
package plan
