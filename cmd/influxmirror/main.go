package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(Main(os.Args[1:])) }

// Main runs the command line and returns the exit code.
func Main(args []string) int {
	noCore()
	// Asked for explicitly, an interrupt is heard even where the parent made it ignored.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
	return a.execute(ctx, args)
}
