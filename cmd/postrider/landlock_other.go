//go:build !linux

package main

import "errors"

func restrict(reach) error { return errors.New("only Linux has it") }
