package main

import (
	"iter"
	"runtime"
)

// parallel applies f to what comes, on all processors, and yields what f answers
// in the order in which it came. What is under way is bounded.
func parallel[In, Out any](in iter.Seq[In], f func(In) Out) iter.Seq[Out] {
	return func(yield func(Out) bool) {
		ahead := make(chan chan Out, 2*runtime.NumCPU())
		stop := make(chan struct{})
		go func() {
			defer close(ahead)
			for v := range in {
				out := make(chan Out, 1)
				select {
				case ahead <- out:
					go func() { out <- f(v) }()
				case <-stop:
					return
				}
			}
		}()
		for out := range ahead {
			if !yield(<-out) {
				close(stop)
				for range ahead { // until the reader has seen it
				}
				return
			}
		}
	}
}
