// Command picture turns a screen that `tmux capture-pane -ep` printed into an
// SVG: picture COLUMNS ROWS TITLE <screen >picture.svg
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"belay/tui/widget"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: picture COLUMNS ROWS TITLE <screen >picture.svg")
		os.Exit(2)
	}
	w, errW := strconv.Atoi(os.Args[1])
	h, errH := strconv.Atoi(os.Args[2])
	screen, err := io.ReadAll(os.Stdin)
	if errW != nil || errH != nil || err != nil {
		fmt.Fprintln(os.Stderr, "picture: two numbers and a screen are wanted")
		os.Exit(2)
	}
	if _, err := os.Stdout.Write(widget.SVG(string(screen), w, h, os.Args[3])); err != nil {
		os.Exit(1)
	}
}
