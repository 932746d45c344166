package shell

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// arithmetic evaluates $(( )) as dash does. What dash would end for, and what differs among C compilers, is an error.
func arithmetic(text string, get func(string) string) (n int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(arithError)
			if !ok {
				panic(p)
			}
			err = errors.New(string(e))
		}
	}()
	a := &arith{text: text, get: get}
	a.next()
	n = a.conditional(true)
	if a.token != "" {
		panic(arithError("unexpected " + a.token))
	}
	return n, nil
}

type arithError string

type arith struct {
	text  string // what is left
	token string // "" at the end
	depth int
	get   func(string) string
}

var operators = []string{"<<", ">>", "<=", ">=", "==", "!=", "&&", "||"}

func (a *arith) next() {
	a.text = strings.TrimLeft(a.text, " \t\n")
	if a.text == "" {
		a.token = ""
		return
	}
	n := 1
	for n < len(a.text) && isWordByte(a.text[0]) && isWordByte(a.text[n]) {
		n++
	}
	for _, op := range operators {
		if strings.HasPrefix(a.text, op) {
			n = 2
		}
	}
	if strings.HasPrefix(a.text, "++") || strings.HasPrefix(a.text, "--") {
		panic(arithError("++ or --"))
	}
	a.token, a.text = a.text[:n], a.text[n:]
}

func (a *arith) is(token string) bool {
	if a.token != token {
		return false
	}
	a.next()
	return true
}

// conditional is c ? x : y. What is not to be evaluated (do is false) is only read.
func (a *arith) conditional(do bool) int64 {
	if a.depth++; a.depth > 100 {
		panic(arithError("too deep"))
	}
	defer func() { a.depth-- }()
	n := a.or(do)
	if !a.is("?") {
		return n
	}
	x := a.conditional(do && n != 0)
	if !a.is(":") {
		panic(arithError("no : after ?"))
	}
	y := a.conditional(do && n == 0)
	if n != 0 {
		return x
	}
	return y
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (a *arith) or(do bool) int64 {
	n := a.and(do)
	for a.is("||") {
		m := a.and(do && n == 0)
		n = truth(n != 0 || m != 0)
	}
	return n
}

func (a *arith) and(do bool) int64 {
	n := a.binary(0, do)
	for a.is("&&") {
		m := a.binary(0, do && n != 0)
		n = truth(n != 0 && m != 0)
	}
	return n
}

// levels are the binary operators, the weakest first.
var levels = [][]string{{"|"}, {"^"}, {"&"}, {"==", "!="}, {"<", ">", "<=", ">="}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"}}

func (a *arith) binary(level int, do bool) int64 {
	if level == len(levels) {
		return a.unary(do)
	}
	n := a.binary(level+1, do)
	for {
		op := a.token
		if !contains(levels[level], op) {
			return n
		}
		a.next()
		m := a.binary(level+1, do)
		if do {
			n = apply(op, n, m)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func apply(op string, n, m int64) int64 {
	switch op {
	case "|":
		return n | m
	case "^":
		return n ^ m
	case "&":
		return n & m
	case "==":
		return truth(n == m)
	case "!=":
		return truth(n != m)
	case "<":
		return truth(n < m)
	case ">":
		return truth(n > m)
	case "<=":
		return truth(n <= m)
	case ">=":
		return truth(n >= m)
	case "+":
		return n + m
	case "-":
		return n - m
	case "*":
		return n * m
	case "<<", ">>":
		if m < 0 || m > 63 {
			panic(arithError(fmt.Sprintf("a shift by %d", m)))
		}
		if op == "<<" {
			return n << m
		}
		return n >> m
	}
	if m == 0 || n == math.MinInt64 && m == -1 {
		panic(arithError("division by zero"))
	}
	if op == "/" {
		return n / m
	}
	return n % m
}

func (a *arith) unary(do bool) int64 {
	if a.depth++; a.depth > 100 {
		panic(arithError("too deep"))
	}
	defer func() { a.depth-- }()
	switch {
	case a.is("!"):
		return truth(a.unary(do) == 0)
	case a.is("~"):
		return ^a.unary(do)
	case a.is("-"):
		return -a.unary(do)
	case a.is("+"):
		return a.unary(do)
	case a.is("("):
		n := a.conditional(do)
		if !a.is(")") {
			panic(arithError("no )"))
		}
		return n
	}
	return a.value(do)
}

func (a *arith) value(do bool) int64 {
	t := a.token
	if t == "" || !isWordByte(t[0]) {
		panic(arithError("unexpected " + strconv.Quote(t)))
	}
	a.next()
	if a.token == "=" {
		panic(arithError("an assignment"))
	}
	if t[0] >= '0' && t[0] <= '9' {
		n, ok := integer(t)
		if !ok {
			panic(arithError("no number: " + t))
		}
		return n
	}
	if foreign[t] || t == "PPID" {
		panic(arithError(t + " means something else here"))
	}
	if !do {
		return 0
	}
	v := a.get(t)
	if v == "" {
		return 0
	}
	n, ok := integer(strings.Trim(v, " \t\n"))
	if !ok {
		panic(arithError(t + " is no number: " + strconv.Quote(v)))
	}
	return n
}

// integer reads a number as C does, 0x and 0 in front; one that is too large is none.
func integer(s string) (int64, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || strings.ContainsAny(digits, "_oObB") && !strings.HasPrefix(digits, "0x") && !strings.HasPrefix(digits, "0X") {
		return 0, false
	}
	if strings.Contains(digits, "_") {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 0, 64)
	return n, err == nil
}
